"""What a metric computes: pictures or numbers in, numbers out."""
