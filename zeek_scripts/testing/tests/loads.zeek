# The package loads and runs without a word, over Zeek's own defaults and over a bare Zeek.
#
# @TEST-EXEC: zeek -C -r $TRACES/ssh-interactive.pcap $PACKAGE > default.out 2>&1
# @TEST-EXEC: test ! -s default.out
# @TEST-EXEC: zeek -b -C -r $TRACES/ssh-interactive.pcap $PACKAGE > bare.out 2>&1
# @TEST-EXEC: test ! -s bare.out
# @TEST-EXEC: zeek -C -r $TRACES/ssh-interactive.pcap $PACKAGE/session.zeek $PACKAGE > session.out 2>&1
# @TEST-EXEC: test ! -s session.out
