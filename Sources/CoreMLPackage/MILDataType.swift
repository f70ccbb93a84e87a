/// MIL data types.
