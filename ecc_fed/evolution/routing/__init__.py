"""Whether a reply needs the cloud, told from what the device itself can see of it, before the customer has."""
