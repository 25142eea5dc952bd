"""What is done to updates on their way to the server, one module for each transform."""
