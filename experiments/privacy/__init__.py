"""What leaves a shop, what an adapter tells, and what a defence costs."""
