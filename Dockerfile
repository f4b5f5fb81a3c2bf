# gzsl-bench with its plugins.  By default torch comes from the package index, which on x86-64 has a CUDA
# build; another one, for a CPU alone or another CUDA, comes from the index that has it:
#   docker build -t gzsl-bench .
#   docker build -t gzsl-bench:cpu --build-arg TORCH_INDEX=https://URL-OF-TORCH-WHEELS/cpu .
#   docker build -t gzsl-bench:cuda --build-arg TORCH_INDEX=https://URL-OF-TORCH-WHEELS/cu128 .
#   docker run --rm -v "$PWD:/work" gzsl-bench run quickstart
FROM python:3.11-slim
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 MPLBACKEND=Agg
WORKDIR /source
COPY . .
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install -c constraints.txt --index-url "$TORCH_INDEX" torch; \
    fi \
    && pip install -c constraints.txt ".[h5,mlflow,tune]" ./plugins/* \
    && rm -rf /source
RUN useradd --create-home bench
USER bench
WORKDIR /work
ENTRYPOINT ["gzsl-bench"]
CMD ["--help"]
