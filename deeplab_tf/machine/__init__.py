"""All code that depends on the operating system or the processor; no other package asks for it."""
