# Typed commands, a download, files that an outside host pulls: no notice even at a low threshold.
#
# @TEST-EXEC: zeek -C -r $TRACES/ssh-interactive.pcap $PACKAGE NetExfil::upload_threshold=100000
# @TEST-EXEC: test ! -e notice.log
# @TEST-EXEC: zeek -C -r $TRACES/https-download.pcap $PACKAGE NetExfil::upload_threshold=100000
# @TEST-EXEC: test ! -e notice.log
# @TEST-EXEC: zeek -C -r $TRACES/inbound-pull.pcap $PACKAGE NetExfil::upload_threshold=100000
# @TEST-EXEC: test ! -e notice.log
