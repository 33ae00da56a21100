"""Reports for people who do not sit at a terminal: a page with charts, a PDF for the board, a mail's attachment."""
