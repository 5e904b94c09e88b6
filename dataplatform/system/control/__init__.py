"""Operating a running platform: the requests, the control socket they come by, and the prompts that send them."""
