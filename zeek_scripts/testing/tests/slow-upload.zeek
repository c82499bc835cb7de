# Three sessions of a channel, each under the threshold: one notice for their sum, whatever their order.
#
# @TEST-EXEC: zeek -C -r $TRACES/curl-put-onesided.pcap $PACKAGE NetExfil::upload_threshold=1000000
# @TEST-EXEC: zeek-cut note src dst p n < notice.log > notices
# @TEST-EXEC: btest-diff notices
