"""The generated data sets: scenes, drawing, layouts."""
