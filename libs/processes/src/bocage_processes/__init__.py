"""The science of Bocage: elevation models, hillshade and true ortho from stereo images, as typed pure functions."""
