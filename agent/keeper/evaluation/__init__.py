"""`onggi evaluate`: files in, a judgement of the models that can be made from them out."""
