"""Tables, plots and the offline page, from run directories only."""
