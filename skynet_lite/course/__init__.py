"""What the course needs around its notebooks: a recorded node, a front door, a doctor."""
