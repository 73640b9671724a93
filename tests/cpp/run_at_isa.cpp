// run_at_isa LEVEL PROGRAM [ARGUMENT...]: runs a program compiled for LEVEL, or exits with 77 (ctest: skipped) if this machine
// cannot run that level. This program itself is compiled for the baseline, so that it can answer anywhere.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "ndloss/isa.hpp"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: run_at_isa LEVEL PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  const std::vector<std::string> levels = ndloss::available_isas();
  if (std::find(levels.begin(), levels.end(), argv[1]) == levels.end()) {
    std::printf("%s cannot run on this machine\n", argv[1]);
    return 77;
  }
  execv(argv[2], argv + 2);
  std::perror(argv[2]);
  return 2;
}
