"""What is done to whole models: nets built from block presets, the demo, and experiments on both."""
