"""Feature-generating Wasserstein GANs: what f-CLSWGAN and its successors share (gan/COMMON 1).

A generator makes features of a class from its embedding and noise, against a critic with a gradient
penalty; a softmax classifier is then trained on the real features of seen classes beside generated
ones of unseen classes.  A method says what it adds to the generator's loss.
"""
