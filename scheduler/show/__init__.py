"""What people and pages are shown, drawn from observation, plan and the code itself."""
