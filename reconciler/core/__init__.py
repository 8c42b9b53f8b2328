"""Objects, states, their differences and the plan that removes them. Pure: knows no kind, no kernel."""
