"""What a layer is: weights and sublayers, symbolic tensors, the functional graph of layers, initialisers."""
