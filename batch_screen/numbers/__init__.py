"""Raw cells to E.164, or a reason why not; the only home of libphonenumber."""
