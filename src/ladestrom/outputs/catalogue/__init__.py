"""What is offered, for catalogues of data: mobilityDCAT-AP."""
