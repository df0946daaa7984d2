"""The restored Visiodroits, behind a port."""
