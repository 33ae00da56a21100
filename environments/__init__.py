"""What a job may need: virtual organisations, environments, images, and which of them a request accepts."""
