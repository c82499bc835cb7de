"""netexfil: exfiltration over encrypted non-C2 protocols, from captures and Zeek logs, joined with endpoint telemetry."""
