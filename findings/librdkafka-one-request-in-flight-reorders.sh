#!/usr/bin/env bash
# What one would guess: with one request in flight (`max.in.flight.requests.per.connection=1`) a message that is sent again
# keeps its place, with or without idempotence. librdkafka's retries were made for that: a message goes back to its place in
# the partition's queue, which "should guarantee ordered delivery if max.in.flight=1" (confluentinc/librdkafka, commit
# 4e0c961e862d, of 2017).
#
# What happens: where each message is a request of its own, one retriable error (NOT_ENOUGH_REPLICAS) for the first gives
# 2 1 3 4 5 6. The second request is sent once the first has been answered, and before the first message is back in the
# queue.
#
# Seen with librdkafka 2.16.0 (PyPI confluent-kafka 2.16.1) on its own mock cluster, in nearly each run on a quiet machine;
# Debian's 2.0.2 does the same. With idempotence off; with it on, sequence numbers keep the order.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages confluent-kafka==2.16.1

cat >"$work/order.py" <<'PYTHON'
import ctypes, glob, os, sys
import confluent_kafka
from confluent_kafka import Consumer, TopicPartition

folder = os.path.join(os.path.dirname(os.path.dirname(confluent_kafka.__file__)), "confluent_kafka.libs")
lib = ctypes.CDLL(glob.glob(os.path.join(folder, "librdkafka-*.so*"))[0])
for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new", "rd_kafka_topic_new"):
    getattr(lib, name).restype = ctypes.c_void_p
lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
PRODUCER, COPY, PRODUCE_API, NOT_ENOUGH_REPLICAS = 0, 2, 0, 19


def client(properties):
    conf, text = ctypes.c_void_p(lib.rd_kafka_conf_new()), ctypes.create_string_buffer(256)
    for key, value in properties.items():
        lib.rd_kafka_conf_set(conf, key.encode(), value.encode(), text, ctypes.c_size_t(256))
    return ctypes.c_void_p(lib.rd_kafka_new(PRODUCER, conf, text, ctypes.c_size_t(256)))


holder = client({"bootstrap.servers": "127.0.0.1:1", "log_level": "0"})
cluster = ctypes.c_void_p(lib.rd_kafka_mock_cluster_new(holder, 1))
brokers = lib.rd_kafka_mock_cluster_bootstraps(cluster).decode()
errors = (ctypes.c_int * 1)(NOT_ENOUGH_REPLICAS)


def order(name):
    """The order of six messages in a partition, of which the first is refused once."""
    lib.rd_kafka_mock_topic_create(cluster, name.encode(), 1, 1)
    producer = client({
        "bootstrap.servers": brokers, "enable.idempotence": "false", "max.in.flight.requests.per.connection": "1",
        "linger.ms": "0", "batch.num.messages": "1", "log_level": "0",
    })
    lib.rd_kafka_mock_push_request_errors_array(cluster, ctypes.c_int16(PRODUCE_API), ctypes.c_size_t(1), errors)
    topic = ctypes.c_void_p(lib.rd_kafka_topic_new(producer, name.encode(), None))
    for number in range(1, 7):
        lib.rd_kafka_produce(topic, 0, COPY, str(number).encode(), ctypes.c_size_t(1), None, ctypes.c_size_t(0), None)
    lib.rd_kafka_flush(producer, 30000)
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "g"})
    consumer.assign([TopicPartition(name, 0, 0)])
    return [consumer.poll(30).value().decode() for _ in range(6)]


for attempt in range(40):
    found = order(f"t{attempt}")
    if found != sorted(found):
        break
print(confluent_kafka.libversion()[0], *found, flush=True)
os._exit(0)
PYTHON
expect "version, and the order in the partition with one request in flight" \
  "$("$work/venv/bin/python" "$work/order.py" 2>/dev/null)" \
  "2.16.0 2 1 3 4 5 6"
