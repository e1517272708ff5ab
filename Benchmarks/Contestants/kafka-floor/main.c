// What librdkafka by itself takes to hand out messages: main BROKERS EVENTS
//
// A consumer of a group that reads so many messages of shop.orders in batches, looks at none of them and stores nothing.
// Tidemark's source of Kafka cannot take less than this beside a replay, which reads the same lines out of a file.
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

static void set(rd_kafka_conf_t *configuration, const char *name, const char *value) {
    char complaint[512];
    if (rd_kafka_conf_set(configuration, name, value, complaint, sizeof complaint) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "%s\n", complaint);
        exit(1);
    }
}

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: %s BROKERS EVENTS\n", words[0]);
        return 64;
    }
    long left = atol(words[2]);
    char complaint[512];
    rd_kafka_conf_t *configuration = rd_kafka_conf_new();
    set(configuration, "bootstrap.servers", words[1]);
    set(configuration, "group.id", "floor");
    set(configuration, "auto.offset.reset", "earliest");
    set(configuration, "enable.auto.commit", "false");
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, configuration, complaint, sizeof complaint);
    if (!client) {
        fprintf(stderr, "%s\n", complaint);
        return 1;
    }
    rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, "shop.orders", RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(client, topics);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    static rd_kafka_message_t *messages[10000];
    while (left > 0) {
        ssize_t taken = rd_kafka_consume_batch_queue(queue, 100, messages, sizeof messages / sizeof *messages);
        for (ssize_t index = 0; index < taken; index++) {
            left -= messages[index]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
            rd_kafka_message_destroy(messages[index]);
        }
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_destroy(topics);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return 0;
}
