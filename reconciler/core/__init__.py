"""Objects, states, their differences, and the plan that removes them; knows no kind, no kernel."""
