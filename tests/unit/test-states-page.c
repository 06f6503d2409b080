/* docs/states.md shows the machine's table as a diagram. It is made here, and compared. */
#include "base/text.h"
#include "service/machine.h"
#include "test.h"

static char diagram[65536];

/* All events that lead from one state to another, as one arrow. */
static void add_arrow(struct text *text, int from, int to)
{
    bool any = false;
    for (int event = 0; event < SERVICE_EVENTS; event++) {
        const struct machine_cell *cell = &machine_cells[from][event];
        if (cell->kind != CELL_MOVE || cell->next != to || from == to)
            continue;
        if (!any)
            text_printf(text, "    %s --> %s: ", machine_states[from].name,
                        machine_states[to].name);
        text_printf(text, "%s%s", any ? ", " : "", machine_event_names[event]);
        any = true;
    }
    if (any)
        text_add_char(text, '\n');
}

static void make_diagram(void)
{
    struct text text;
    text_init(&text, diagram, sizeof diagram);
    text_add(&text, "```mermaid\nstateDiagram-v2\n");
    for (int from = 0; from < SERVICE_STATES; from++)
        for (int to = 0; to < SERVICE_STATES; to++)
            add_arrow(&text, from, to);
    text_add(&text, "```\n");
    CHECK(!text.cut);
}

/* The page as text; empty where it cannot be read, which no test here passes. */
static const char *read_page(void)
{
    static char page[131072];
    FILE *file = fopen(SOURCE_ROOT "/docs/states.md", "r");
    size_t bytes = file ? fread(page, 1, sizeof page - 1, file) : 0;
    if (file)
        fclose(file);
    page[bytes] = 0;
    return page;
}

TEST(the_page_on_states_shows_the_table_as_it_is)
{
    const char *page = read_page();
    make_diagram();
    bool same = strstr(page, diagram) != NULL;
    CHECK(same);
    if (!same)
        fprintf(stderr, "the diagram of docs/states.md is to be:\n%s", diagram);
}

TEST(the_page_on_states_has_a_line_for_every_state)
{
    const char *page = read_page();
    char row[64];
    for (int state = 0; state < SERVICE_STATES; state++) {
        text_format(row, sizeof row, "| %s | %s |", machine_states[state].name,
                    machine_states[state].shown);
        CHECK(strstr(page, row) != NULL);
    }
}
