# No notice for a destination that may receive uploads.
#
# @TEST-EXEC: zeek -C -r $TRACES/rclone-sftp.pcap $PACKAGE %INPUT
# @TEST-EXEC: test ! -e notice.log

redef NetExfil::upload_threshold = 1000000;
redef NetExfil::allowed_destinations += { 192.0.2.0/28 };
