/* Asks a release through TensorFlow's C interface: no Python, none of this project's code.
 *
 *   ask_release FOLDER LIBRARY < request > answer
 *
 * FOLDER holds the SavedModel. LIBRARY is a library of custom operations to load before it, or "-".
 * The request on stdin is in words, divided by blanks: a number of inputs; of each its tensor's
 * name, "string", "float" or "int32", its rank, its dimensions and its values; then the number of
 * outputs and their tensors' names. A string is its length in bytes, a blank and its bytes. Inputs
 * that are not named are not fed. The answer: of each output a line with its type, rank and
 * dimensions, then a line for each value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

enum { MOST_TENSORS = 64, MOST_DIMENSIONS = 8, LONGEST_NAME = 256 };

static void fail(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(const TF_Status* status, const char* what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

static void need(int is_true, const char* what) {
  if (!is_true) fail("request", what);
}

/* Finds the tensor called "operation:number". */
static TF_Output find_tensor(TF_Graph* graph, char* name) {
  char* colon = strrchr(name, ':');
  need(colon != NULL, "a tensor's name needs a colon");
  *colon = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  if (output.oper == NULL) fail("there is no operation", name);
  return output;
}

static void read_string(TF_TString* target) {
  size_t length;
  need(scanf("%zu", &length) == 1, "a string's length");
  getchar();
  char* bytes = malloc(length + 1);
  need(fread(bytes, 1, length, stdin) == length, "a string's bytes");
  TF_TString_Init(target);
  TF_TString_Copy(target, bytes, length);
  free(bytes);
}

static TF_Tensor* read_tensor(void) {
  char type[16];
  int rank;
  int64_t dimensions[MOST_DIMENSIONS];
  long long count = 1, size;
  need(scanf("%15s %d", type, &rank) == 2 && rank <= MOST_DIMENSIONS, "a type and a rank");
  for (int i = 0; i < rank; ++i) {
    need(scanf("%lld", &size) == 1, "a dimension");
    dimensions[i] = size;
    count *= size;
  }
  const TF_DataType kind = strcmp(type, "string") == 0  ? TF_STRING
                           : strcmp(type, "float") == 0 ? TF_FLOAT
                                                        : TF_INT32;
  /* Of strings TF_DataTypeSize knows no size: the tensor holds TF_TString. */
  const size_t each = kind == TF_STRING ? sizeof(TF_TString) : TF_DataTypeSize(kind);
  TF_Tensor* tensor = TF_AllocateTensor(kind, dimensions, rank, (size_t)count * each);
  void* data = TF_TensorData(tensor);
  for (long long i = 0; i < count; ++i) {
    if (kind == TF_STRING) {
      read_string((TF_TString*)data + i);
    } else if (kind == TF_FLOAT) {
      need(scanf("%f", (float*)data + i) == 1, "a float");
    } else {
      need(scanf("%d", (int*)data + i) == 1, "an integer");
    }
  }
  return tensor;
}

static void print_tensor(const TF_Tensor* tensor) {
  const TF_DataType kind = TF_TensorType(tensor);
  printf("%s %d", kind == TF_STRING ? "string" : "float", TF_NumDims(tensor));
  for (int i = 0; i < TF_NumDims(tensor); ++i) printf(" %lld", (long long)TF_Dim(tensor, i));
  printf("\n");
  const int64_t count = TF_TensorElementCount(tensor);
  for (int64_t i = 0; i < count; ++i) {
    if (kind == TF_STRING) {
      const TF_TString* text = (const TF_TString*)TF_TensorData(tensor) + i;
      fwrite(TF_TString_GetDataPointer(text), 1, TF_TString_GetSize(text), stdout);
      printf("\n");
    } else {
      printf("%.9g\n", ((const float*)TF_TensorData(tensor))[i]);
    }
  }
}

int main(int argc, char** argv) {
  if (argc != 3) fail("usage", "ask_release FOLDER LIBRARY");
  TF_Status* status = TF_NewStatus();
  if (strcmp(argv[2], "-") != 0) {
    TF_LoadLibrary(argv[2], status);
    check(status, "loading the operations");
  }
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(status, "loading the SavedModel");

  int inputs, outputs;
  char name[LONGEST_NAME];
  TF_Output fed[MOST_TENSORS], fetched[MOST_TENSORS];
  TF_Tensor *given[MOST_TENSORS], *got[MOST_TENSORS];
  need(scanf("%d", &inputs) == 1 && inputs <= MOST_TENSORS, "the number of inputs");
  for (int i = 0; i < inputs; ++i) {
    need(scanf("%255s", name) == 1, "the name of an input");
    fed[i] = find_tensor(graph, name);
    given[i] = read_tensor();
  }
  need(scanf("%d", &outputs) == 1 && outputs <= MOST_TENSORS, "the number of outputs");
  for (int i = 0; i < outputs; ++i) {
    need(scanf("%255s", name) == 1, "the name of an output");
    fetched[i] = find_tensor(graph, name);
  }
  TF_SessionRun(session, NULL, fed, given, inputs, fetched, got, outputs, NULL, 0, NULL, status);
  check(status, "asking");
  for (int i = 0; i < outputs; ++i) {
    print_tensor(got[i]);
    TF_DeleteTensor(got[i]);
  }
  for (int i = 0; i < inputs; ++i) TF_DeleteTensor(given[i]);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
