"""What is handed out: reports, their versions, bundles that can be computed again, ARGO's shape."""
