"""A client of Kafka for the tests: creates, changes and deletes topics, and sends what is on standard input.

    kafka-client.py BROKERS create TOPIC PARTITIONS
    kafka-client.py BROKERS grow TOPIC PARTITIONS        to so many in all
    kafka-client.py BROKERS delete TOPIC
    kafka-client.py BROKERS send TOPIC [commit|abort]    lines of KEY<tab>VALUE, in a transaction that ends so
    kafka-client.py BROKERS put TOPIC PARTITION          lines of KEY<tab>VALUE, to one partition
"""
import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

SECONDS = 30


def perform(brokers, command, topic, option=None):
    settings = {"bootstrap.servers": brokers}
    if command == "create":
        admin = AdminClient(settings)
        admin.create_topics([NewTopic(topic, int(option), 1)])[topic].result(SECONDS)
    elif command == "grow":
        admin = AdminClient(settings)
        admin.create_partitions([NewPartitions(topic, int(option))])[topic].result(SECONDS)
    elif command == "delete":
        admin = AdminClient(settings)
        admin.delete_topics([topic])[topic].result(SECONDS)
    elif command in ("send", "put"):
        place = {"partition": int(option)} if command == "put" else {}
        option = None if command == "put" else option
        if option:
            settings["transactional.id"] = "tests"
        producer = Producer(settings)
        if option:
            producer.init_transactions(SECONDS)
            producer.begin_transaction()
        for line in sys.stdin:
            key, value = line.rstrip("\n").split("\t", 1)
            producer.produce(topic, value, key=key, **place)
        if producer.flush(SECONDS):
            raise SystemExit("not all messages were stored")
        if option:
            (producer.commit_transaction if option == "commit" else producer.abort_transaction)(SECONDS)
    else:
        raise SystemExit(__doc__)


perform(*sys.argv[1:])
