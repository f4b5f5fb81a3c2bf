# gzsl-bench with its plugins.  Build for a CPU (default), or with the CUDA build of torch:
#   docker build -t gzsl-bench .
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
