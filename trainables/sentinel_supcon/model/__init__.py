"""Networks: encoders of both sensors, prototypes, fusion and heads."""
