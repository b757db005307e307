"""Every bound of the system in one place: a name with its unit, a value, and the reason for it (STYLE: limits)."""

from __future__ import annotations

from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

# --- readings -------------------------------------------------------------------------------------------------------
# DESIGN section 2: one reading is at most 64 KiB; larger values are files, not readings.
READING_VALUE_BYTES_MAX: Final = 64 * 1024
# A reading from the future is a wrong clock; a day leaves room for a device that has its time zone wrong.
READING_AHEAD_MS_MAX: Final = DAY_MS
# Doubles hold every whole number up to here; a larger one would come out changed, so it is refused.
NUMBER_EXACT_MAX: Final = 2**53
# Names travel in every batch and stand in pages; these hold any sensible name and bound a hostile one.
IDENTITY_CHARS_MAX: Final = 256
ALIAS_CHARS_MAX: Final = 128
NAME_CHARS_MAX: Final = 128
DESCRIPTION_CHARS_MAX: Final = 1_024
UNIT_CHARS_MAX: Final = 32
TAG_CHARS_MAX: Final = 256
# One POST of readings: large enough for a gateway's backlog of an hour, small enough to be parsed in memory.
INGEST_BODY_BYTES_MAX: Final = 16 * 1024 * 1024
INGEST_LINES_MAX: Final = 100_000
# Lines are read while they come in, so much at a time: about 2 ms of work, and ten times as much memory for a moment.
INGEST_SLICE_BYTES: Final = 256 * 1024
# Readings of one transaction that are absorbed together: a reading takes about 100 bytes of memory for a moment.
ABSORB_READINGS_MAX: Final = 131_072
# Gateways that report for others in one request: each is a unit of work of its own.
INGEST_REPORTERS_MAX: Final = 100
# Keys of programs and devices of one site; all are in memory, and looked at for each request.
API_KEYS_MAX: Final = 10_000
# MQTT messages in one unit of work; brokers usually send far fewer (20) before they want an acknowledgement.
MQTT_BATCH_MESSAGES_MAX: Final = 1_000
# Messages of QoS 0 in memory, not yet stored; what comes beyond is dropped and counted.
MQTT_QUEUE_MESSAGES_MAX: Final = 20_000
MQTT_KEEPALIVE_S: Final = 30
# A broker that does not answer for this long is taken for gone; shorter than the time a daemon has to drain.
MQTT_ANSWER_S: Final = 4.0
# How long a trial of settings waits for a message to show.
MQTT_TRIAL_S: Final = 3.0
# Refused messages that a page shows; the count is complete.
MQTT_REFUSALS_SHOWN_MAX: Final = 20
MQTT_SUBSCRIPTIONS_MAX: Final = 100
# Refusals repeated in one answer; the counts are always complete.
INGEST_REFUSALS_SHOWN_MAX: Final = 1_000

# --- streams (DESIGN section 5) -------------------------------------------------------------------------------------
# Twice as many take a twentieth less each: names and tables of codes stand in a segment once. One takes a target below a ms.
SEGMENT_READINGS_MAX: Final = 8_192
# So many readings taken at once do not wait for company: packed alone they take a quarter more than in the fullest segment.
SEGMENT_GREAT_READINGS: Final = 1_024
SEGMENT_PLAIN_BYTES_TARGET: Final = 64 * 1024
# What a reading that came alone takes in the tail beside its value: names, a frame of compression, lengths.
TAIL_READING_BYTES: Final = 160
# Small chunks of the tail become one once there are so many, or so many readings in them: a full tail of single readings
# would take 2 MB of the file and, to be sealed, half a second of the writer. Of one minute, so that ages stay right.
TAIL_SMALL_READINGS_MAX: Final = 64
TAIL_SMALL_BYTES_MAX: Final = 1024
TAIL_MERGED_CHUNKS: Final = 64
TAIL_MERGED_READINGS: Final = 1_024
TAIL_MERGED_MS_MAX: Final = MINUTE_MS
# Expiry works on whole segments; a tail older than this is sealed, so that expiry is exact to within it.
TAIL_AGE_MS_MAX: Final = HOUR_MS
# What a decompressed segment may grow to; 20:1 over the sealed bytes is generous for readings.
SEGMENT_PLAIN_BYTES_MAX: Final = 8 * 1024 * 1024
DECOMPRESS_RATIO_MAX: Final = 20
# Small batches compress far better than 20:1 in places (a constant series); below this size the ratio is not asked.
DECOMPRESS_FREE_BYTES: Final = 1024 * 1024
SEGMENT_SEALED_BYTES_MAX: Final = SEGMENT_PLAIN_BYTES_MAX
# DESIGN G5. A setting at both hub and site; this is its default.
RETENTION_MS: Final = 30 * DAY_MS
OUTBOX_BYTES_MAX: Final = 4 * 1024 * 1024 * 1024
HUB_COPY_BYTES_MAX: Final = 4 * 1024 * 1024 * 1024
# What a copy takes at a hub beside its sealed body: header, row, entries of indexes, and its number in memory. Counted with
# it, or the smallest of copies would take nine times the cap.
HUB_COPY_ROW_BYTES: Final = 256
# Readings of a device that another has replaced are held so long before they are given up: a backlog of them makes a notice
# a minute, not one for each segment (G13).
REPLACED_TOLD_AFTER_MS: Final = MINUTE_MS
# Live is what was accepted within the last minute (G6).
LIVE_AGE_MS: Final = MINUTE_MS
# Ids of segments accepted but not yet sent on this link that are remembered for the live lane; older ones are backfill.
FRESH_SEGMENTS_MAX: Final = 1_024
# Small accepts wait in the tail while this many live segments are unacknowledged (the previous send is in flight).
LIVE_IN_FLIGHT_MAX: Final = 4
# Where many pairs are at work, a destination states so many segments at once, as many as an origin has on their way, or what
# there is after so long: before the hub writes a copy (HUB_COPY_DELAY_MS).
STATED_AT_ONCE_SEGMENTS: Final = 4
WORD_WAITS_MS_MAX: Final = 450
# There an origin goes on while it waits for such a word: a small accept by way of the tail costs twice as much.
LIVE_IN_FLIGHT_CROWD_MAX: Final = 12
# So many pairs of a site with something to do within a second are many: a site with fewer has time for each.
CROWD_PAIRS_MIN: Final = 24
# A segment sent, neither applied nor held by the hub, is asked about again after this long without progress.
RESYNC_AFTER_MS: Final = 10 * SECOND_MS
# Segments, and entries, that an origin sends again at once although the hub says it holds them: about 1 MiB at most.
INSISTED_MAX: Final = 16
# Gap notices group what was dropped; one notice names at most this many (device, resource) rows.
GAP_ROWS_MAX: Final = 1_000
# Readings that one notice of the other side may name: four months of a hundred thousand a second, and far from where
# sums of them leave 63 bits.
GAP_COUNT_MAX: Final = 2**40
# Resources named in one statement as held or given up at the destination; the rest is summed up under no name.
APART_RESOURCES_STATED_MAX: Final = 256
# Accounts of resources in one statement of the source; those that changed and found no room follow with the next.
RESOURCE_LEDGERS_STATED_MAX: Final = 256
# Resources of one connector in /metrics, the largest ones: each makes five time series of somebody's database.
METRICS_RESOURCES_MAX: Final = 1_000
# Statements of a destination that its origin's ledger may refer to, and resources kept with them (about 1 MiB).
CUTS_KEPT_MAX: Final = 256
CUTS_RESOURCES_MAX: Final = 16_384
# Epochs stated in one acknowledgement: one per start of the origin, none of which is forgotten; more are stated by turns.
EPOCHS_STATED_MAX: Final = 4_096
# The readable part of one acknowledgement: 200,000 holes, of which each is a dropped piece of a backlog that lies between
# kept ones; an outage of a month can leave tens of thousands. Reading it takes the hub half a second at most.
STATEMENT_PUBLIC_BYTES_MAX: Final = 4 * 1024 * 1024
# Of it the part about the stream, so that epochs of replays and of the control log have room as well; and what goes with
# it for the other side only: counts, names, accounts and replays then stay below a frame.
STATEMENT_EPOCHS_BYTES_MAX: Final = STATEMENT_PUBLIC_BYTES_MAX - 256 * 1024
STATEMENT_REPLAYS_BYTES_MAX: Final = 128 * 1024
STATEMENT_COUNTS_BYTES_MAX: Final = 2 * 1024 * 1024
# Causes under which one account counts what was given up, and the length of each name; there are eight.
CAUSES_MAX: Final = 16
CAUSE_CHARS_MAX: Final = 32
# What an origin asks its peer to repeat, so that it knows a fresh word from an old one: 16 bytes of chance, with room.
STATEMENT_NONCE_BYTES_MAX: Final = 64

# --- replays (N9) ---------------------------------------------------------------------------------------------------------
# Segments of a replay under way: enough to fill a link of 200 ms with 80,000 readings/s, few enough to cost nothing kept.
REPLAY_SEGMENTS_MAX: Final = 4
# Readings of one segment: the target looks for each in its history first, which holds its writer.
REPLAY_READINGS_MAX: Final = 4_096
# Series read for one segment: each means opening history at both ends, which holds the writer for some 0.1 ms.
REPLAY_SERIES_MAX: Final = 32
# Readings of texts read at once: each may be 64 KiB.
REPLAY_TEXTS_MAX: Final = 256
# A replay reads what it covers reading by reading; who wants more than ten years asks twice.
REPLAY_RANGE_MS_MAX: Final = 3_660 * DAY_MS
# Resources and devices named in one ask, which has to fit a control entry.
REPLAY_NAMES_MAX: Final = 200
# Open replays of a connector: one runs, the others wait for it.
REPLAY_JOBS_OPEN_MAX: Final = 8
# Replays that are over are shown until there are more than this.
REPLAY_JOBS_KEPT_MAX: Final = 100
# The newest ones start over where the target was restored; far fewer than are kept, so that both sides know them.
REPLAY_JOBS_WATCHED_MAX: Final = 20
# Names of what has no place at the target, in the figures of a replay: enough to see what is wrong.
REPLAY_UNPLACED_NAMES_MAX: Final = 10
# Epochs of replays remembered by a target: one per start of a source that had a replay running.
REPLAY_EPOCHS_KEPT_MAX: Final = 64

# --- quarantine (G7) ----------------------------------------------------------------------------------------------------
# What is kept aside is tried again this often: what may help without an upgrade is a clock that is right again.
QUARANTINE_TRY_EVERY_MS: Final = HOUR_MS
# So many in one unit of work: each is a segment to open and apply.
QUARANTINE_TRIED_MAX: Final = 8
# What a connector keeps aside of its partner's segments; beyond it they wait at the partner. Room for weeks of what goes
# wrong by a wrong clock, and a twentieth of a small disk. A setting; this is its default.
QUARANTINE_BYTES_MAX: Final = 256 * 1024 * 1024
# The same for entries of the control log: edits that cannot be read are few, and must not stand still for bad segments.
QUARANTINE_ENTRIES_BYTES_MAX: Final = 16 * 1024 * 1024
# Given up in one unit of work, where a person discards all: each is opened, to name what is lost.
QUARANTINE_DISCARDED_MAX: Final = 64
# What a row of the table takes beside header and contents, so that tiny ones are bounded too.
QUARANTINE_ROW_BYTES: Final = 256
# A full quarantine takes more once it has come down to this part of its space: each time costs a new link.
QUARANTINE_GOES_ON_SHARE: Final = 0.75

# --- control log ----------------------------------------------------------------------------------------------------
CONTROL_ENTRY_BYTES_MAX: Final = 256 * 1024
# All definitions of a connector, which travel in one entry: their texts as UTF-8 and so much more for each. Some 3,000
# resources with names, units and bounds as usual, 390 with the longest names.
DEFINITIONS_BYTES_MAX: Final = CONTROL_ENTRY_BYTES_MAX - 1_024
DEFINITION_BYTES_EXTRA: Final = 16
# Entries sent beyond the last acknowledged one; control bypasses byte credit, so its count is bounded instead.
CONTROL_IN_FLIGHT_MAX: Final = 64
# Cells in one control entry when whole states are exchanged.
CELLS_PER_ENTRY_MAX: Final = 500
# A stamp further ahead than this never moves our clock (G11).
HLC_AHEAD_MS_MAX: Final = 5 * MINUTE_MS

# --- edits (G11, G13, G18) ------------------------------------------------------------------------------------------
# Configuration of a device is JSON that people and devices read as a whole; larger things are files.
CONFIGURATION_BYTES_MAX: Final = 32 * 1024
# How often one identity may be created: enough for a century of once a second, and it fits everywhere.
GENERATION_MAX: Final = 2**31 - 1
SITE_ID_CHARS_MAX: Final = 64
SUBJECT_CHARS_MAX: Final = 128
# What one device may have of each; a partner that goes on adding is refused beyond it.
TAGS_PER_DEVICE_MAX: Final = 256
GRANTS_PER_DEVICE_MAX: Final = 256
PUBLISH_AS_PER_DEVICE_MAX: Final = 64
# Devices that one request creates, deletes or edits: one unit of work, which keeps the writer for about a second.
BULK_DEVICES_MAX: Final = 10_000
# History of changes and settled conflicts, per connector: what is still open stays beyond both.
CHANGES_KEPT_MS: Final = 366 * DAY_MS
CHANGES_KEPT_MAX: Final = 200_000
CONFLICTS_KEPT_MAX: Final = 10_000

# --- links ----------------------------------------------------------------------------------------------------------
FRAME_BYTES_MAX: Final = SEGMENT_SEALED_BYTES_MAX + 64 * 1024
# What a connector says beside segments, calls and statements: a refusal with all its facts is 66 KiB of it at most.
FRAME_SMALL_BYTES_MAX: Final = 128 * 1024
# Segment bytes a sender may have outstanding on one hop before the receiver grants more (G8).
CREDIT_BYTES: Final = 4 * 1024 * 1024
# The receiver grants again once this much was consumed, so that credit frames stay rare.
CREDIT_GRANT_BYTES: Final = 512 * 1024
# Frames that bypass credit waiting in one link's queue; beyond it the peer is not reading and the link is aborted.
LINK_QUEUE_FRAMES_MAX: Final = 4_096
# A send that does not finish in this time means a peer that does not read.
SEND_DEADLINE_S: Final = 20.0
HANDSHAKE_DEADLINE_S: Final = 10.0
# A whole answer of the hub over HTTP, from connecting to its last byte; a proxy's page in its place may be longer than it.
HUB_ANSWER_DEADLINE_S: Final = 30.0
HUB_ANSWER_BYTES_MAX: Final = 1024 * 1024
# Told at the opening of a link, and where something seems lost or was let go; all that is held is listed anew each time.
HELD_TOLD_EVERY_MS: Final = SECOND_MS
# A side that was quiet hears it so often without waiting: at the opening, and once its pair has an engine or a new link.
HELD_TOLD_AT_ONCE_MAX: Final = 2
# Intervals of numbers that a hub has of one pair and direction: tens are usual, and listing so many takes 10 ms. While the
# destination is linked, and for the log of edits, it may be twice as many.
HUB_HELD_INTERVALS_MAX: Final = 16_384
PING_INTERVAL_S: Final = 10.0
PING_TIMEOUT_S: Final = 20.0
# A heartbeat of a link comes back within milliseconds. Looked for this often while one is out; unanswered for so long,
# pages say that rather than `connected`. A hub that stops for a moment is no alarm.
LINK_LOOK_S: Final = 1.0
LINK_SILENT_AFTER_S: Final = 3.0
# Reconnecting: doubling from the first to the last with full jitter, so that a thousand sites do not knock at once.
BACKOFF_FIRST_MS: Final = 250
BACKOFF_LAST_MS: Final = 30 * SECOND_MS
# A link that lived this long was healthy: the next failure starts the backoff afresh. Links that two copies of a site
# take from each other end sooner.
BACKOFF_HEALTHY_MS: Final = 2 * SECOND_MS
# A hub that could not be reached is looked at this often, by each site, while it waits for its next attempt: what was
# cut off flows again within a second of the network's return, and a look is one small request.
HUB_LOOK_EVERY_S: Final = 0.25
HUB_LOOK_DEADLINE_S: Final = 1.0
# G2: this many mutual displacements in a minute mean two live copies of one site.
DISPLACEMENTS_MAX: Final = 3
DISPLACEMENT_WINDOW_MS: Final = MINUTE_MS
# The hub writes a copy of what is not acknowledged within this (G5).
HUB_COPY_DELAY_MS: Final = 750
# Unwritten segments the hub keeps in memory per pair and direction before it stops granting credit.
HUB_MEMORY_BYTES_PER_STREAM: Final = 8 * 1024 * 1024
# What all streams of a hub may keep in memory while its disk refuses; beyond it a stream whose peer is away keeps nothing,
# and one whose peer is linked so much, until there is room again: the origins keep it, and send it again once the peer is
# linked.
HUB_MEMORY_BYTES_MAX: Final = 256 * 1024 * 1024
HUB_MEMORY_BYTES_SHORT: Final = 512 * 1024
# While the peer keeps acknowledging, a backlog that passes through need not be written; but the origin may want to leave.
HUB_COPY_DELAY_MS_MAX: Final = 5 * SECOND_MS
# The same bound as a count: tiny segments take more room than their bytes.
HUB_MEMORY_COPIES_PER_STREAM: Final = 32_768
# Copies read, and written, in one go: few trips to the disk, and little memory.
HUB_LOAD_BYTES: Final = 1024 * 1024
HUB_STORE_BYTES: Final = 2 * 1024 * 1024
HUB_STORE_RETRY_MS: Final = 5 * SECOND_MS
# Held, forwarded and never acknowledged: delivered again after RESYNC_AFTER_MS, then twice as long, up to this.
REDELIVER_AFTER_MS_MAX: Final = 10 * MINUTE_MS
# Live goes first, yet backfill always gets a tenth: one segment of it after nine times a segment's usual bytes (G6).
BACKFILL_AFTER_LIVE_BYTES: Final = 9 * SEGMENT_PLAIN_BYTES_TARGET
# A budget beyond what any link carries is a slip of the keyboard.
DRAIN_BYTES_PER_S_MAX: Final = 10**12
# Backfill on its way on one hop without a word: enough to keep the other side busy, and little enough that what lies
# before a live segment in queues and sockets is gone in 50 ms at 10 Mbit/s. As bytes, and as a count of tiny segments.
BACKFILL_IN_FLIGHT_BYTES: Final = SEGMENT_PLAIN_BYTES_TARGET
BACKFILL_IN_FLIGHT_MAX: Final = 256
# Readings of a backlog after which a destination ends a unit of work, so that live has its turn; the last segment goes
# whole, which takes it below a millisecond even where it is full.
BACKFILL_READINGS_AT_ONCE: Final = 2_048
# The same as a count of tiny segments.
BACKFILL_FRAMES_AT_ONCE: Final = 16
# While live readings or questions come, a destination rests after each such unit of work for so many times what it
# took: they find the writer and the interpreter free more often than not, and a drain needs less than all of both.
BACKFILL_REST_SHARE: Final = 4.0
BACKFILL_REST_S_MAX: Final = 0.08
BACKFILL_WATCHED_S: Final = 1.0
# Credit that backfill leaves to live.
LIVE_RESERVE_BYTES: Final = 512 * 1024
# What compression may add to incompressible bytes, and the seal to those.
SEAL_OVERHEAD_BYTES_MAX: Final = 4 * 1024
# Numbers are kept as signed 64-bit integers in databases.
SEALED_NUMBER_MAX: Final = 2**63 - 1
# A link assertion lives this long at most (SECURITY, joining a hub).
ASSERTION_LIFE_S: Final = 60
NONCE_LIFE_S: Final = 60

# Bytes of frames waiting in one link's queue: credit both ways, a large segment and calls; beyond it the peer is not
# reading, and at a site no more is read for now.
LINK_QUEUE_BYTES_MAX: Final = 32 * 1024 * 1024
# A link that brings more frames than this is read more slowly; a full stream of 64 KiB segments stays below.
LINK_FRAMES_PER_S_MAX: Final = 8_000
# A message of more fragments, or more WebSocket pings in a second, is an attack on the server's time.
FRAGMENTS_MAX: Final = 1_024
PINGS_PER_S_MAX: Final = 50
# From the first byte of a WebSocket message to its last; a segment of 64 KiB takes that long at 20 kbit/s.
MESSAGE_DEADLINE_S: Final = 30.0
# Unsent bytes in one socket's buffer; a flood of pings whose answers nobody reads ends here.
SOCKET_BUFFER_BYTES_MAX: Final = 16 * 1024 * 1024
# The head of an HTTP request, with a link assertion and cookies in it.
HEAD_BYTES_MAX: Final = 64 * 1024
# Enrolment and other small JSON requests.
JOIN_BODY_BYTES_MAX: Final = 64 * 1024
CONNECTIONS_MAX: Final = 4_096
# SIGTERM to end; service managers kill after ten.
DRAIN_DEADLINE_S: Final = 5.0

# --- pairing --------------------------------------------------------------------------------------------------------
WINDOW_MS: Final = 10 * MINUTE_MS
WINDOW_MS_MIN: Final = 3 * MINUTE_MS
WINDOW_MS_MAX: Final = 15 * MINUTE_MS
CODE_ATTEMPTS: Final = 3
# One whole claim: four messages over two links and some CPU.
CLAIM_DEADLINE_MS: Final = 30 * SECOND_MS
# The target repeats its first sealed message this often until it hears `welcome` or `rolled back`.
PAIR_HELLO_EVERY_MS: Final = 5 * SECOND_MS
# One pairing message: names, keys, a share and a signature, with room.
CLAIM_BODY_BYTES_MAX: Final = 16 * 1024
# Facts of a refusal that is passed on, and the length of each with its name.
FACTS_MAX: Final = 16
FACT_CHARS_MAX: Final = 1_024
# How long the hub says `window expired` rather than `no such window`.
WINDOW_REMEMBERED_MS: Final = WINDOW_MS_MAX
ENROLMENT_TOKEN_LIFE_MS: Final = DAY_MS
# Open or remembered windows of one site at a hub, beyond which its oldest is forgotten: each is looked at at each deadline.
WINDOWS_PER_SITE_MAX: Final = 256
# Of one site at one hub, so that none takes all the hub has: links are half of CONNECTIONS_MAX, a pair is a row for good.
LINKS_PER_SITE_MAX: Final = 2_048
PAIRS_PER_SITE_MAX: Final = 10_000
# Claims one target site may start in a minute: people type a code every few seconds at most.
KNOCKS_PER_MINUTE_MAX: Final = 20

# --- calls ----------------------------------------------------------------------------------------------------------
CALL_DEADLINE_S: Final = 5.0
CALL_BODY_BYTES_MAX: Final = 1024 * 1024
CALLS_IN_FLIGHT_MAX: Final = 256
LOOKUP_PAGE_ROWS_MAX: Final = 500

# --- certificates ---------------------------------------------------------------------------------------------------
# Told of from here on: time for a person on holiday, and for the usual renewal at two thirds of 90 days to have failed.
CERTIFICATE_WARN_MS: Final = 30 * DAY_MS
# Looking at two files costs microseconds; a renewal tool may have written them one after the other.
CERTIFICATE_LOOK_S: Final = 2.0
# Browsers take server certificates of 398 days at most; the authority above outlives many renewals.
SELF_SIGNED_MS: Final = 397 * DAY_MS
SELF_SIGNED_CA_MS: Final = 3_650 * DAY_MS

# --- the operator's page of a hub -------------------------------------------------------------------------------------
# Rows of one list on the page, which is drawn anew at each change; the next ones are a link away.
OPERATOR_ROWS_MAX: Final = 10
OPERATOR_SEARCH_CHARS_MAX: Final = 100
AUDIT_ROWS_MAX: Final = 50
AUDIT_API_ROWS_MAX: Final = 1_000
# Kinds of attempts that were turned away and are remembered one by one; the counts go on beyond.
BLOCKED_LAST_MAX: Final = 100

# --- event streams of the API -------------------------------------------------------------------------------------------
# Open at a time for one key or person: a dashboard needs one; each costs a task and a queue.
EVENT_STREAMS_PER_KEY_MAX: Final = 16
# Readings that wait for a client that reads slowly; beyond it they are left out, and it is told how many.
EVENT_QUEUE_READINGS_MAX: Final = 50_000
# A comment this often keeps proxies from closing a quiet stream, and finds out who is gone.
EVENT_BEAT_S: Final = 10.0

# --- clocks (G5) ----------------------------------------------------------------------------------------------------
CLOCK_JUMP_MS_MAX: Final = HOUR_MS
# A site without peers asks nobody: a month off is more likely a month off than a broken clock.
CLOCK_AWAY_ALONE_MS_MAX: Final = 30 * DAY_MS
# Often enough that a repair shows it while somebody still remembers what was done to the clock.
CLOCK_LOOK_S: Final = 1.0
# The next run compares with this; well within what is let pass.
CLOCK_NOTED_EVERY_S: Final = 600.0

# --- health and repairs (G9, N2) ------------------------------------------------------------------------------------
# A link that moved nothing for this long although something waits is stalled, not connected.
STALLED_AFTER_MS: Final = MINUTE_MS
# An attempt now and then is `reconnecting`; after this long it is `off line`, and a repair.
OFFLINE_AFTER_MS: Final = MINUTE_MS
# A daemon that restarts, or a machine that reboots, is back by then.
PEER_OFFLINE_AFTER_MS: Final = 2 * MINUTE_MS
# Against flapping: what figures show has to hold, or be gone, for so long before a repair is raised, or cleared.
REPAIR_RAISE_AFTER_MS: Final = 30 * SECOND_MS
REPAIR_CLEAR_AFTER_MS: Final = 10 * SECOND_MS
# Two copies displace each other in turns: each link looks well for a while.
DUPLICATE_CLEAR_AFTER_MS: Final = 2 * MINUTE_MS
# A clock that differs by so much from the hub's or the peer's is told of, until it differs by less than half.
CLOCK_OFF_MS_MAX: Final = 30 * SECOND_MS
# Room on the disk has to grow by so much beyond the warning for it to end.
DISK_LOW_CLEARED_FACTOR: Final = 1.25
DISK_WARN_BYTES: Final = 1024 * 1024 * 1024
# Of the cap and of the time that readings may wait; told of from the first, until below the second.
BACKLOG_NEAR_SHARE: Final = 0.8
BACKLOG_NEAR_CLEARED_SHARE: Final = 0.7
# A backlog that needs longer than this at its drain budget is told of, until it needs less than half.
DRAIN_HELD_MS: Final = HOUR_MS
# A question through the whole pair and back, this often; unanswered for so long it is a repair.
CANARY_EVERY_S: Final = 15.0
# One that was lost is asked again sooner, so that pages do not say so for longer than it is true.
CANARY_AGAIN_S: Final = 3.0
CANARY_LOST_AFTER_MS: Final = MINUTE_MS
# Repairs that are over stay on the page for so long, and no more than so many.
REPAIRS_KEPT_MS: Final = 30 * DAY_MS
REPAIRS_KEPT_MAX: Final = 500
# Repairs of one connector: a thousand mismatched resources are named by these and counted.
REPAIRS_OF_KIND_MAX: Final = 50

# --- notices ----------------------------------------------------------------------------------------------------------
# Notices that wait for one webhook or mail server; beyond it the oldest gives way and is counted.
NOTICES_WAITING_MAX: Final = 200
# Repairs named in one notice; of more, the rest is counted.
NOTICE_REPAIRS_MAX: Final = 50
# Tried again after the first, then twice as long, up to the last; given up once it has waited so long (in this process).
NOTICE_RETRY_FIRST_MS: Final = 5 * SECOND_MS
NOTICE_RETRY_LAST_MS: Final = HOUR_MS
NOTICE_LIFE_MS: Final = 3 * DAY_MS
# From connecting to the answer.
NOTICE_DEADLINE_S: Final = 15.0
# A mail is half a dozen questions and answers, each within the deadline above; all of them within this.
NOTICE_MAIL_DEADLINE_S: Final = 60.0

# --- diagnostics ------------------------------------------------------------------------------------------------------
# Log lines kept in memory for a bundle, and the length of each.
LOG_LINES_KEPT_MAX: Final = 2_000
LOG_LINE_CHARS_MAX: Final = 2_000
# Counting the rows of great tables and checking a great file ends after this.
DIAGNOSTICS_DATABASE_S: Final = 5.0

# --- storage --------------------------------------------------------------------------------------------------------
# Units of work in one commit: more save fsyncs, fewer keep the wait of the first one short.
COMMIT_UNITS_MAX: Final = 64
# Work in the background gives way to what is waited for, no longer than this: without end history would never be folded.
WRITER_PATIENCE_S: Final = 0.01
# What was committed is brought from the write-ahead log into the file this often, once the log takes so much room.
CHECKPOINT_EVERY_S: Final = 0.5
CHECKPOINT_LOG_BYTES_MIN: Final = 1024 * 1024
# A log of so many pages (of 4 KiB) is begun anew, for which the writer stops once. Where it has four times that, checkpoints
# beside the writer do not keep up, and it makes them itself; that is also what is left of the file between two uses.
LOG_FRAMES_MAX: Final = 4_096
LOG_FRAMES_BESIDE_MAX: Final = 16_384
# Pages that a connection keeps beside the system's own cache, from which another one comes in microseconds. A site has one
# writer and four others on its database: caches that take an hour to fill make memory seem to grow with what is stored.
WRITER_CACHE_KIB: Final = 4_096
READER_CACHE_KIB: Final = 1_024
# A database that nobody has written to for so long gives the room of its write-ahead log back, if that is more than this.
LOG_TRUNCATED_AFTER_S: Final = 1.0
LOG_KEPT_BYTES: Final = 64 * 1024
# A store that refused is tried again this often: soon enough for a person who has just made room.
STORE_TRIED_EVERY_S: Final = 1.0
# How soon what an unexpected error stopped is begun again: not in haste, and before a person has looked twice.
STOPPED_AGAIN_S: Final = 1.0
# For how long after that a person is told of it: what fails now and then is one repair, not one each time.
STOPPED_TOLD_MS: Final = 10 * MINUTE_MS
# What the hub did not answer or refused is told again on the same link this often: a disk that was full for a moment must
# not cost what a broken link would mend; a refusal that lasts costs a line in its log.
TOLD_AGAIN_EVERY_S: Final = 60.0
# The look at a database's structure before it is served: small ones are seen whole, large ones in part.
STORE_CHECK_AT_START_S: Final = 0.3
# A disk that was full has room again once this much is free: one page alone would be gone with the next reading.
DISK_ROOM_BYTES_MIN: Final = 256 * 1024
# Room that readings leave to everything else, so that a full disk is met by a clear no and not by half a day of errors.
DISK_RESERVE_BYTES: Final = 64 * 1024 * 1024
# A backup copies the database in steps of a MiB with a pause after each: the stream goes on beside it.
BACKUP_STEP_PAGES: Final = 256
BACKUP_PAUSE_S: Final = 0.001
# A backup holds every key of a site; a shorter passphrase is guessed at leisure by whoever has the file.
PASSPHRASE_CHARS_MIN: Final = 12
# Room for the write-ahead log, and for what a daemon writes first, beside what is restored.
RESTORE_BYTES_SPARE: Final = 64 * 1024 * 1024
# Up to this many readings taken at once are kept as rows; more are kept as they were packed: from here on that is cheaper.
HISTORY_ROWS_MAX: Final = 48
# Readings in a chunk of history: few enough to open one for a chart, many enough to pack well and to fill pages of a database.
HISTORY_CHUNK_READINGS_MAX: Final = 8_192
# A chunk below this still grows, unless its texts are that long.
HISTORY_CHUNK_READINGS_MIN: Final = 1_024
HISTORY_CHUNK_TEXT_BYTES_MAX: Final = 256 * 1024
# Recent batches, and rows, of a connector beyond which they are folded: reading one series opens them all. A row takes 22
# bytes, in a batch less than 3. Beyond so many of all connectors those that have most are folded, few as they may be.
HISTORY_RECENT_MAX: Final = 64
HISTORY_LOOSE_ROWS_MAX: Final = 2_048
HISTORY_LOOSE_ROWS_ALL_MAX: Final = 16_384
# Readings and batches folded in one go (a reading takes 64 bytes of memory for a moment); of batches folded once, more.
HISTORY_FOLD_READINGS_MAX: Final = 131_072
HISTORY_FOLD_TWICE_READINGS_MAX: Final = 524_288
HISTORY_FOLD_BATCHES_MAX: Final = 256
# Rows folded in one unit of work while others wait; series whose rows are, or whose chunks are made, at a time.
HISTORY_FOLD_ROWS_MAX: Final = 2_048
HISTORY_FOLD_SERIES_MAX: Final = 128
# New readings that chunks are made of in one go, of one series at least: 3 to 5 ms in which one reader of the database is away.
HISTORY_FOLD_MADE_MAX: Final = 8_192
# Chunks written in one unit of work, one at least: a millisecond, after which others have their turn.
HISTORY_FOLD_WRITTEN_BYTES_MAX: Final = 64 * 1024
# What a batch or chunk says it unpacks to: the greatest has 524,288 readings of 32 bytes at most, or texts of one segment. More
# is damage, which must not take all memory.
HISTORY_PLAIN_BYTES_MAX: Final = 256 * 1024 * 1024
# How long readings are kept where a resource does not say: a year, and a day more for comparing with the year before.
HISTORY_RETENTION_MS: Final = 366 * DAY_MS
# A century: whoever wants more wants "for ever".
RETENTION_DAYS_MAX: Final = 36_525
