"""DATEX II version 3: stations (Table) and statuses (Status), as JSON of the AFIR profile and as XML."""
