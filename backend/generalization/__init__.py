"""What a network learns beyond the pictures that it was trained on."""
