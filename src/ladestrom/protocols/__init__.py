"""What operators speak, pure: one file each. Messages to reports, receipts to answers."""
