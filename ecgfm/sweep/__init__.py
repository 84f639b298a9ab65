"""Many runs of one recipe that differ in some of its fields: which (space), how they are trained (search), the sum."""
