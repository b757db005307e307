"""The pages of a site, one file per page: each builds its typed contexts (web.contexts) from the site and answers forms.

Belongs here: what a page shows and which form does what. Must not be here: markup, and rules of devices, streams or pairs.
"""
