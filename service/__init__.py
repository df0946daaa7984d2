"""relais-droits: answers beneficiary-rights queries from a signed, sealed snapshot while Visiodroits is off."""
