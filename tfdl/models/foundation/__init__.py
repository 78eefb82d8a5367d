"""Networks of the first stage: multi-layer perceptron, highway network, convolutional and recurrent topologies."""
