"""What the courier says that it carried, held against what the egress log let out."""
