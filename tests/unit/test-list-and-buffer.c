/* The intrusive list and the byte buffer. */
#include "base/buffer.h"
#include "base/list.h"
#include "test.h"

TEST(a_list_gives_back_what_was_appended_in_order)
{
    struct list head, nodes[3];
    list_init(&head);
    CHECK(list_empty(&head) && !list_take(&head));
    for (int i = 0; i < 3; i++)
        list_append(&head, &nodes[i]);
    list_remove(&nodes[1]);
    list_remove(&nodes[1]); /* does nothing the second time */
    CHECK(list_take(&head) == &nodes[0]);
    CHECK(list_take(&head) == &nodes[2]);
    CHECK(list_empty(&head));
}

TEST(a_node_may_leave_the_list_while_it_is_walked)
{
    struct list head, nodes[4];
    int seen = 0;
    list_init(&head);
    for (int i = 0; i < 4; i++)
        list_append(&head, &nodes[i]);
    list_for_each(node, &head)
    {
        list_remove(node);
        seen++;
    }
    CHECK_NUMBER(seen, 4);
    CHECK(list_empty(&head));
}

TEST(a_buffer_keeps_bytes_in_order_through_growth_and_consumption)
{
    struct buffer buffer = {0};
    unsigned written = 0, read = 0;
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < round % 37; i++) {
            unsigned char byte = (unsigned char)written++;
            CHECK_NUMBER(buffer_append(&buffer, &byte, 1), 0);
        }
        for (int i = 0; i < round % 29 && buffer_used(&buffer); i++) {
            CHECK((unsigned char)buffer_bytes(&buffer)[0] == (unsigned char)read);
            read++;
            buffer_consume(&buffer, 1);
        }
    }
    CHECK_NUMBER(buffer_used(&buffer), written - read);
    buffer_finish(&buffer);
}

TEST(a_buffer_refuses_more_than_memory_can_be)
{
    struct buffer buffer = {0};
    CHECK(buffer_reserve(&buffer, (size_t)-1) < 0);
    CHECK(buffer.data == NULL);
}
