"""Pictures with objects as people keep them: one file for each form of annotations, `formats` finds the right one."""
