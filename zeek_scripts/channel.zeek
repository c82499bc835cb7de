##! Uploads in many small sessions. Each node sums what its sessions send on a channel, and hands the sums
##! to the SumStats framework (base/frameworks/sumstats), which adds them up over a cluster, for an hour and
##! for a day.

@load base/frameworks/notice
@load base/frameworks/sumstats
@load ./options
@load ./upload

module NetExfil;

# What this node saw of a channel, and how much of it was not handed on yet.
type Sum: record {
	out: count &default=0;
	new_out: count &default=0;
	new_back: count &default=0;
};

global sums: table[addr, addr, port] of Sum &create_expire=1day;

# A channel's share of the threshold: what it sent, where it sent more than it received.
function share(result: SumStats::Result, part: double): double
	{
	local out = result["netexfil.out"]$sum;
	local back = result["netexfil.back"]$sum;
	if ( out <= 0.0 || ( out - back ) / ( out + back ) < min_pcr )
		return 0.0;

	return out / ( upload_threshold * part );
	}

function hour_value(key: SumStats::Key, result: SumStats::Result): double
	{
	return share(result, hour_share);
	}

function day_value(key: SumStats::Key, result: SumStats::Result): double
	{
	return share(result, day_share);
	}

function tell_slow(key: SumStats::Key, result: SumStats::Result)
	{
	local remote = split_string(key$str, / /);
	local r = to_addr(remote[0]);
	local p = to_port(remote[1]);
	local channel = channel_name(key$host, r, p);
	if ( r in allowed_destinations || ! first_told(channel) )
		return;

	local out = double_to_count(result["netexfil.out"]$sum);
	local back = double_to_count(result["netexfil.back"]$sum);
	local first = result["netexfil.out"]$begin;
	NOTICE(Notice::Info($note=Slow_Upload, $src=key$host, $dst=r, $p=p, $n=out,
	    $identifier=channel, $suppress_for=quiet, $msg=fmt(
	    "%s sent %d bytes to %s %s in sessions over %.0f minutes", key$host,
	    out, r, p, interval_to_double(network_time() - first) / 60),
	    $sub=fmt("pcr=%.2f", pcr(out, back))));
	}

event zeek_init()
	{
	SumStats::create(SumStats::SumStat($name="netexfil.hour", $epoch=1hr,
	    $reducers=set(SumStats::Reducer($stream="netexfil.out", $apply=set(
	    SumStats::SUM)), SumStats::Reducer($stream="netexfil.back",
	    $apply=set(SumStats::SUM))), $threshold_val=hour_value,
	    $threshold=1.0, $threshold_crossed=tell_slow));
	SumStats::create(SumStats::SumStat($name="netexfil.day", $epoch=1day,
	    $reducers=set(SumStats::Reducer($stream="netexfil.out", $apply=set(
	    SumStats::SUM)), SumStats::Reducer($stream="netexfil.back",
	    $apply=set(SumStats::SUM))), $threshold_val=day_value,
	    $threshold=1.0, $threshold_crossed=tell_slow));
	}

# Small amounts wait here until they are a fiftieth of the threshold, as an observation costs far more
# than a sum; from half the threshold on nothing waits.
function hand_on(h: addr, r: addr, p: port, s: Sum)
	{
	if ( s$new_out * 50 < upload_threshold && s$out * 2 < upload_threshold )
		return;

	local key = SumStats::Key($host=h, $str=fmt("%s %s", r, p));
	SumStats::observe("netexfil.back", key, SumStats::Observation(
	    $num=s$new_back));
	SumStats::observe("netexfil.out", key, SumStats::Observation($num=s$new_out));
	s$new_out = 0;
	s$new_back = 0;
	}

hook counted(c: connection, out: count, back: count)
	{
	local t = c$netexfil;
	# Roles may turn round in the middle of a session: what was counted the other way stays as it is.
	local more_out = out > t$out ? out - t$out : 0;
	local more_back = back > t$back ? back - t$back : 0;
	if ( more_out == 0 && more_back == 0 )
		return;

	local h = c$id$orig_h;
	local r = c$id$resp_h;
	local p = channel_port(c);
	if ( [h, r, p] !in sums )
		{
		if ( |sums| >= max_channels )
			return;

		sums[h, r, p] = Sum();
		}

	local s = sums[h, r, p];
	s$out += more_out;
	s$new_out += more_out;
	s$new_back += more_back;
	t$out = out;
	t$back = back;
	hand_on(h, r, p, s);
	}
