"""What a model is worth: numbers with intervals, beside marks and controls. The only room that reads labels."""
