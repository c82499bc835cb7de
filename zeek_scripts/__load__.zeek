@load ./options
@load ./upload
@load ./channel
@load ./netexfil_log
@load ./fingerprints
# More columns in conn.log; costs CPU on every session, so a site loads it by name:
# @load ./session
