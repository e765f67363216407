/* Counts, at MPI's profiling interface, what a rank hands over for its neighbors: independent of the ledger, in no line shared.

   Preloaded into a rank, it sees every neighbor all-gather that the program asks for, blocking or persistent, with its count
   and datatype, and books count * size of the type to each destination of the graph when the exchange starts. It does not see
   the messages that the library makes of them: those are what the library's own counters count.

   At MPI_Finalize it writes a line "destination messages bytes" for each rank of MPI_COMM_WORLD that anything went to, and last
   "end", to the file $MPIDEC_INTERPOSER followed by a dot and the own rank. */

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    MPI_Request request;
    MPI_Comm comm;
    long long bytes;
} Plan;

static long long *messages, *bytes;

static void fail(const char *what)
{
    fprintf(stderr, "mpidec interposer: %s\n", what);
    PMPI_Abort(MPI_COMM_WORLD, 1);
}

/* One exchange of so many bytes to each destination of the graph. */
static void book(MPI_Comm comm, long long size)
{
    int in, out, weighted, ranks;
    PMPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (!messages) {
        messages = calloc(ranks, sizeof *messages);
        bytes = calloc(ranks, sizeof *bytes);
    }
    PMPI_Dist_graph_neighbors_count(comm, &in, &out, &weighted);
    int *lists = malloc((2 * (in + out) + out + 1) * sizeof *lists);
    if (!lists || !messages || !bytes)
        fail("no memory");
    int *sources = lists, *in_weights = lists + in, *targets = lists + 2 * in, *out_weights = targets + out;
    int *world_targets = out_weights + out;
    PMPI_Dist_graph_neighbors(comm, in, sources, in_weights, out, targets, out_weights);
    MPI_Group own, world;
    PMPI_Comm_group(comm, &own);
    PMPI_Comm_group(MPI_COMM_WORLD, &world);
    PMPI_Group_translate_ranks(own, out, targets, world, world_targets);
    for (int i = 0; i < out; i++) {
        messages[world_targets[i]] += 1;
        bytes[world_targets[i]] += size;
    }
    PMPI_Group_free(&own);
    PMPI_Group_free(&world);
    free(lists);
}

static long long size_of(long long count, MPI_Datatype type)
{
    int size;
    PMPI_Type_size(type, &size);
    return count * size;
}

#define GATHER(suffix, Number)                                                                                          \
    int MPI_Neighbor_allgather##suffix(const void *sent, Number count, MPI_Datatype type, void *received,               \
                                       Number received_count, MPI_Datatype received_type, MPI_Comm comm)                \
    {                                                                                                                   \
        book(comm, size_of(count, type));                                                                               \
        return PMPI_Neighbor_allgather##suffix(sent, count, type, received, received_count, received_type, comm);       \
    }

#define GATHER_INIT(suffix, Number)                                                                                     \
    int MPI_Neighbor_allgather_init##suffix(const void *sent, Number count, MPI_Datatype type, void *received,          \
                                            Number received_count, MPI_Datatype received_type, MPI_Comm comm,           \
                                            MPI_Info info, MPI_Request *request)                                        \
    {                                                                                                                   \
        int status = PMPI_Neighbor_allgather_init##suffix(sent, count, type, received, received_count, received_type,   \
                                                          comm, info, request);                                         \
        plan(*request, comm, size_of(count, type));                                                                     \
        return status;                                                                                                  \
    }

GATHER(, int)

/* Open MPI 5 has the persistent call and says that it is of MPI 3.1; the large counts (_c) are of MPI 4. */
#if MPI_VERSION >= 4 || (defined(OMPI_MAJOR_VERSION) && OMPI_MAJOR_VERSION >= 5)
static Plan *plans;
static int plan_count;

static void plan(MPI_Request request, MPI_Comm comm, long long size)
{
    plans = realloc(plans, (plan_count + 1) * sizeof *plans);
    if (!plans)
        fail("no memory");
    plans[plan_count++] = (Plan){request, comm, size};
}

static Plan *plan_of(MPI_Request request)
{
    for (int i = 0; i < plan_count; i++)
        if (plans[i].request == request)
            return &plans[i];
    return NULL;
}

GATHER_INIT(, int)
#if MPI_VERSION >= 4
GATHER(_c, MPI_Count)
GATHER_INIT(_c, MPI_Count)
#endif

int MPI_Start(MPI_Request *request)
{
    Plan *started = plan_of(*request);
    if (started)
        book(started->comm, started->bytes);
    return PMPI_Start(request);
}

int MPI_Request_free(MPI_Request *request)
{
    Plan *freed = plan_of(*request);
    if (freed) /* its handle may come to mean another request */
        *freed = plans[--plan_count];
    return PMPI_Request_free(request);
}
#endif

int MPI_Finalize(void)
{
    const char *prefix = getenv("MPIDEC_INTERPOSER");
    if (prefix) {
        int rank, ranks;
        char name[4096];
        PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
        PMPI_Comm_size(MPI_COMM_WORLD, &ranks);
        snprintf(name, sizeof name, "%s.%d", prefix, rank);
        FILE *file = fopen(name, "w");
        if (!file)
            fail("cannot write its counts");
        for (int i = 0; messages && i < ranks; i++)
            if (messages[i])
                fprintf(file, "%d %lld %lld\n", i, messages[i], bytes[i]);
        fprintf(file, "end\n");
        if (fclose(file))
            fail("cannot write its counts");
    }
    return PMPI_Finalize();
}
