"""Who has which rights: the model, the decision and its rendering."""
